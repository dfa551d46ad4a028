-- What a rejected tick is, and where its file has it, are columns: no program has to read the words of a reason.
-- Locks: ACCESS EXCLUSIVE on rejected_ticks, for as long as the rows of files are classified, once.

ALTER TABLE public.rejected_ticks
    ADD COLUMN kind text NOT NULL DEFAULT 'frame'
        CHECK (kind IN ('frame', 'quote', 'trade', 'line', 'bar', 'company', 'row')),
    ADD COLUMN number bigint;
COMMENT ON COLUMN public.rejected_ticks.kind IS
    'What the payload is. frame: of a feed; quote: a frame of which only the quote was rejected; trade: values that the'
    ' database refused; line: of a text file with ticks; bar, company: of one with bars or companies; row: of a table,'
    ' as JSON.';
COMMENT ON COLUMN public.rejected_ticks.number IS
    'Number of the line or row in its file, from 1. Null: it does not come from a file.';
COMMENT ON COLUMN public.rejected_ticks.reason IS 'Why it was rejected, for people.';

-- Rows that are older than the columns are classified by their reasons, for the last time.
UPDATE public.rejected_ticks q SET kind = c.kind, number = substring(q.reason FROM '^(?:line|row) ([0-9]{1,18}): ')::bigint
FROM (
    SELECT id, CASE
        WHEN reason ~ '^line [0-9]+: ' THEN 'line'
        WHEN reason ~ '^row [0-9]+: ' OR feed = 'public.stocks_real_time_before_candleworks' THEN 'row'
        WHEN starts_with(reason, 'quote: ') THEN 'quote'
        WHEN payload ~ '^symbol=\S+ event_time=\S+ price=\S+ day_volume=\S+ bid=\S+ ask=\S+$' THEN 'trade'
    END AS kind
    FROM public.rejected_ticks
) c
WHERE c.id = q.id AND c.kind IS NOT NULL;
