"""A load generator for any SFU: stock ICE and DTLS, then paced RTP by the hundred, counted and timed by the kernel."""
