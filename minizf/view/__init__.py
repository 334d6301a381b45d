"""Pictures of networks: figures as PNG, and the atlas as one page to turn over."""
