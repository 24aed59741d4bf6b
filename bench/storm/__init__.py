"""The storm: 200 kills in a few seconds, with and without a kill -9 of the agent in the middle."""
