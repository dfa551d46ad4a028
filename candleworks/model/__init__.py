"""What a tick is: its columns, its identity, its trading day."""
