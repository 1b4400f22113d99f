#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

extension CounterRandom {
  /// Standard normal, by Box and Muller from the two uniforms at `2 counter` and `2 counter + 1`.
  public func normal(_ counter: UInt64) -> Double {
    let radius = 1 - uniform(2 &* counter)
    let angle = uniform(2 &* counter &+ 1)
    return (-2 * log(radius)).squareRoot() * cos(2 * Double.pi * angle)
  }
}
