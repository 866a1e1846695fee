"""What a path carries, up and down: from what arrives, or from what the other side says has arrived."""
