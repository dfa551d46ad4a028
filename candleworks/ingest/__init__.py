"""From a socket to committed rows: feed, batcher, sequencer, writer."""
