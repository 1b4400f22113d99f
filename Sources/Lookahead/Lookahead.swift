// Lookahead
