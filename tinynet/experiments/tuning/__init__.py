"""The search for good settings of a recipe, by Optuna, which the extra `tune` brings.

`space` says what is searched, `study` where trials are kept and how they are drawn, `search` trains them,
`report` writes down what was found. Only `space` can be imported without Optuna.
"""
