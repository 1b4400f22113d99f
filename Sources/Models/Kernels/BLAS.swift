import COpenBLAS

/// OpenBLAS on the calling thread only. The work is split over threads by the batch's chunks, and OpenBLAS must not
/// split it again.
public enum BLAS {
  /// Turns OpenBLAS's own threads off, once for the process.
  static let singleThreaded: Void = openblas_set_num_threads(1)

  /// Version, build options and kernel set of OpenBLAS here: results repeat bit for bit only where this is equal.
  public static var description: String {
    let build = openblas_get_config().map { String(cString: $0) } ?? "OpenBLAS"
    let core = openblas_get_corename().map { String(cString: $0) } ?? "unknown"
    // The build string ends in spaces and, in builds for many CPUs, leaves out which kernels were chosen.
    return build.split(separator: " ").joined(separator: " ") + ", kernels: " + core
  }

  /// output[rows × columns] = left[rows × inner] · right[columns × inner]ᵀ. Strides are floats from row to row.
  @inline(__always)
  static func multiplyTransposed(
    _ left: UnsafePointer<Float>, _ leftStride: Int, _ right: UnsafePointer<Float>, _ rightStride: Int,
    into output: UnsafeMutablePointer<Float>, _ outputStride: Int, rows: Int, columns: Int, inner: Int
  ) {
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(columns), Int32(inner), 1, left,
      Int32(leftStride), right, Int32(rightStride), 0, output, Int32(outputStride))
  }

  /// output[rows × columns] = left[rows × inner] · right[inner × columns], added to what is there if `accumulate`.
  @inline(__always)
  static func multiply(
    _ left: UnsafePointer<Float>, _ leftStride: Int, _ right: UnsafePointer<Float>, _ rightStride: Int,
    into output: UnsafeMutablePointer<Float>, _ outputStride: Int, rows: Int, columns: Int, inner: Int,
    accumulate: Bool = false
  ) {
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows), Int32(columns), Int32(inner), 1, left,
      Int32(leftStride), right, Int32(rightStride), accumulate ? 1 : 0, output, Int32(outputStride))
  }

  /// output[rows × columns] = left[inner × rows]ᵀ · right[inner × columns], added to what is there if `accumulate`.
  @inline(__always)
  static func transposedMultiply(
    _ left: UnsafePointer<Float>, _ leftStride: Int, _ right: UnsafePointer<Float>, _ rightStride: Int,
    into output: UnsafeMutablePointer<Float>, _ outputStride: Int, rows: Int, columns: Int, inner: Int,
    accumulate: Bool
  ) {
    cblas_sgemm(
      CblasRowMajor, CblasTrans, CblasNoTrans, Int32(rows), Int32(columns), Int32(inner), 1, left,
      Int32(leftStride), right, Int32(rightStride), accumulate ? 1 : 0, output, Int32(outputStride))
  }
}
