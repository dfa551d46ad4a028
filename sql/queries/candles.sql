-- name: refresh_candles
SELECT level, due, changed FROM candleworks.refresh_candles(%(max_minutes)s)
