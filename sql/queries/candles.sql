-- name: refresh_candles
SELECT level, changed FROM candleworks.refresh_candles()
