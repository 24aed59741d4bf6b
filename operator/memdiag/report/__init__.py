"""A diagnosis for people: the curve as text, vector and image, and the page that explains the verdict."""
