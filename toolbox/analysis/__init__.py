"""Questions to a saved model: metrics, attribution, faithfulness, activation maximization."""
