"""Tables, galleries and the HTML report, computed from artifacts on disk."""
