// TableStore
