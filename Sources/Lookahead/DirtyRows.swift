import Primitives

/// The rows changed by batches whose commit has no freeze plan yet: a ring of keys, split into one interval a commit.
struct DirtyRows {
  private let keys: AlignedBuffer<RowKey>
  private var head = 0
  private var count = 0
  /// Rows of the interval that no commit closed yet.
  private(set) var openCount = 0

  init(capacity: Int) {
    keys = AlignedBuffer(count: capacity)
  }

  static func bytes(capacity: Int) -> Int { capacity * 8 }

  mutating func append(_ key: RowKey) {
    precondition(count < keys.count, "the dirty rows outgrew their bound")
    var index = head + count
    if index >= keys.count { index -= keys.count }
    keys.base[index] = key
    count += 1
    openCount += 1
  }

  /// Ends the open interval and returns its size.
  mutating func closeInterval() -> Int {
    defer { openCount = 0 }
    return openCount
  }

  /// Takes the oldest row out.
  mutating func removeFirst() -> RowKey {
    let key = keys.base[head]
    head += 1
    if head == keys.count { head = 0 }
    count -= 1
    return key
  }
}
