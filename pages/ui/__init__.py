"""What pages share: the process behind them, controls, charts."""
