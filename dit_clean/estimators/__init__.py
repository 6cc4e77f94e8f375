"""The estimators: wiring in scikit-learn's terms, no mathematics."""
