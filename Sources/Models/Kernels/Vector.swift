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
