"""What guards the HTTP side: origins, proxies, headers."""
