"""Who may do what in a room, who did what, and who is told: policy, acts, audit and webhooks."""
