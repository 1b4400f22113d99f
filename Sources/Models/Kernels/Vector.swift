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
