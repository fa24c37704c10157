"""What it is for: images in; views, studies and verdicts out."""
