"""What is given away: the image looked into, its bill of materials, the licences, and the files of one version."""
