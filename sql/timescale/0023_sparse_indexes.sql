-- Compressed batches note between which moments their ticks came, so that a look for new ticks passes over them: 3 ms
-- instead of 42 in a test with 300,000 compressed ticks. Chunks that are compressed already stay as they are.
-- Locks: ACCESS EXCLUSIVE on the hypertables for a moment.
ALTER TABLE public.stocks_real_time SET (timescaledb.sparse_index = 'minmax(received_at)');
ALTER TABLE public.quotes SET (timescaledb.sparse_index = 'minmax(received_at)');
