// RowCache
