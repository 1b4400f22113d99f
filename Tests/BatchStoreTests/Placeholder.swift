// BatchStore
