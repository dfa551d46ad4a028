-- One query for each indicator that has a value per candle; docs/reference/indicators.md. All columns are named, because
-- what reads them knows the names from candleworks/candles/indicators.py.

-- name: indicator_sma
SELECT bucket, value
FROM indicators.sma(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_ema
SELECT bucket, value
FROM indicators.ema(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_rma
SELECT bucket, value
FROM indicators.rma(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_wma
SELECT bucket, value
FROM indicators.wma(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_vwap
SELECT bucket, value
FROM indicators.vwap(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(price)s, %(zone)s)

-- name: indicator_bollinger
SELECT bucket, upper, middle, lower
FROM indicators.bollinger(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(deviations)s, %(price)s, %(zone)s)

-- name: indicator_donchian
SELECT bucket, upper, middle, lower
FROM indicators.donchian(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_keltner
SELECT bucket, upper, middle, lower
FROM indicators.keltner(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(ranges)s, %(range_length)s, %(price)s, %(zone)s)

-- name: indicator_rsi
SELECT bucket, value
FROM indicators.rsi(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_macd
SELECT bucket, macd, signal, histogram
FROM indicators.macd(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(fast_length)s, %(slow_length)s, %(signal_length)s, %(price)s, %(zone)s)

-- name: indicator_atr
SELECT bucket, value
FROM indicators.atr(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(price)s, %(zone)s)

-- name: indicator_stochastic
SELECT bucket, k, d
FROM indicators.stochastic(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(k_length)s, %(d_length)s, %(price)s, %(zone)s)

-- name: indicator_obv
SELECT bucket, value
FROM indicators.obv(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(price)s, %(zone)s)

-- name: indicator_returns
SELECT bucket, simple, log
FROM indicators.returns(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(price)s, %(zone)s)

-- name: indicator_volatility
SELECT bucket, value
FROM indicators.volatility(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, %(length)s, %(periods_per_year)s, %(price)s, %(zone)s)
