"""What a viewer sees over a bad network: two pages in Chromium, in real time (`python -m bench.video`)."""
