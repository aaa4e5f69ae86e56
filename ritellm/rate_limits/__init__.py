"""How fast to send requests: `pace` decides and is pure; requests wait in `gate` and `queue`."""
