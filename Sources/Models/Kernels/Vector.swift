/// Eight floats, one AVX2 register: the width of every hand-written kernel.
typealias Vector = SIMD8<Float>

@inline(__always)
func load(_ address: UnsafePointer<Float>) -> Vector {
  UnsafeRawPointer(address).loadUnaligned(as: Vector.self)
}

@inline(__always)
func store(_ vector: Vector, _ address: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(address).storeBytes(of: vector, as: Vector.self)
}

/// The first `lanes` floats at `address`; zero in the others.
@inline(__always)
func load(_ address: UnsafePointer<Float>, _ lanes: Int) -> Vector {
  if lanes == 8 { return load(address) }
  var vector = Vector(repeating: 0)
  for lane in 0..<lanes { vector[lane] = address[lane] }
  return vector
}

/// Writes the first `lanes` floats.
@inline(__always)
func store(_ vector: Vector, _ address: UnsafeMutablePointer<Float>, _ lanes: Int) {
  if lanes == 8 { return store(vector, address) }
  for lane in 0..<lanes { address[lane] = vector[lane] }
}

/// Runs over `count` floats eight at a time, at last over the rest: `body` gets where, and how many. Each float goes
/// through the same operations wherever it stands.
@inline(__always)
func forEachVector(_ count: Int, _ body: (_ index: Int, _ lanes: Int) -> Void) {
  let whole = count & ~7
  var index = 0
  while index < whole {
    body(index, 8)
    index += 8
  }
  if index < count { body(index, count - index) }
}

/// `count` rounded up to a whole number of vectors.
@inline(__always)
func paddedToVector(_ count: Int) -> Int { (count + 7) & ~7 }

/// Sum of the eight lanes, always as ((0+4)+(2+6)) + ((1+5)+(3+7)).
@inline(__always)
func laneSum(_ vector: Vector) -> Float {
  let four = vector.lowHalf + vector.highHalf
  let two = four.lowHalf + four.highHalf
  return two[0] + two[1]
}

extension SIMD8<Float> {
  /// self + left · right with one rounding, as the fused multiply-add instruction does.
  @inline(__always)
  mutating func addProduct(_ left: Self, _ right: Self) {
    self = addingProduct(left, right)
  }
}

/// Runs over `count` floats of matrices that have room for whole vectors behind them.
@inline(__always)
func forEachWhole(_ count: Int, _ body: (_ index: Int) -> Void) {
  var index = 0
  while index < count {
    body(index)
    index += 8
  }
}

/// Writes the columns of an 8 × 8 matrix, each of whose rows starts at an address of its own, as rows.
@inline(__always)
func transpose(
  _ source: (_ row: Int) -> UnsafePointer<Float>, _ target: (_ column: Int) -> UnsafeMutablePointer<Float>
) {
  let (row0, row1, row2, row3) = (load(source(0)), load(source(1)), load(source(2)), load(source(3)))
  let (row4, row5, row6, row7) = (load(source(4)), load(source(5)), load(source(6)), load(source(7)))
  // Pairs of rows, then fours, then eights: in each half of a vector by itself until the last step.
  let (low01, high01) = (zipLow(row0, row1), zipHigh(row0, row1))
  let (low23, high23) = (zipLow(row2, row3), zipHigh(row2, row3))
  let (low45, high45) = (zipLow(row4, row5), zipHigh(row4, row5))
  let (low67, high67) = (zipLow(row6, row7), zipHigh(row6, row7))
  write(joinLow(low01, low23), joinLow(low45, low67), target(0), target(4))
  write(joinHigh(low01, low23), joinHigh(low45, low67), target(1), target(5))
  write(joinLow(high01, high23), joinLow(high45, high67), target(2), target(6))
  write(joinHigh(high01, high23), joinHigh(high45, high67), target(3), target(7))

  @inline(__always)
  func write(
    _ upper: Vector, _ lower: Vector, _ first: UnsafeMutablePointer<Float>,
    _ second: UnsafeMutablePointer<Float>
  ) {
    store(Vector(lowHalf: upper.lowHalf, highHalf: lower.lowHalf), first)
    store(Vector(lowHalf: upper.highHalf, highHalf: lower.highHalf), second)
  }
  @inline(__always)
  func zipLow(_ a: Vector, _ b: Vector) -> Vector { Vector(a[0], b[0], a[1], b[1], a[4], b[4], a[5], b[5]) }
  @inline(__always)
  func zipHigh(_ a: Vector, _ b: Vector) -> Vector { Vector(a[2], b[2], a[3], b[3], a[6], b[6], a[7], b[7]) }
  @inline(__always)
  func joinLow(_ a: Vector, _ b: Vector) -> Vector { Vector(a[0], a[1], b[0], b[1], a[4], a[5], b[4], b[5]) }
  @inline(__always)
  func joinHigh(_ a: Vector, _ b: Vector) -> Vector { Vector(a[2], a[3], b[2], b[3], a[6], a[7], b[6], b[7]) }
}
