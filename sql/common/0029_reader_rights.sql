-- Makes the role of the dashboards now that everything it reads is there, or says why there is none: the platform works
-- without it.
-- Locks: none worth naming.
DO $$
DECLARE
    problem text := candleworks.set_up_reader();
BEGIN
    IF problem IS NOT NULL THEN
        RAISE WARNING '%', problem USING ERRCODE = '01C01';
    END IF;
END $$;
