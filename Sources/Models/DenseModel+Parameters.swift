extension DenseModel {
  /// Bytes of `parameterBytes` for this configuration, which must be valid: dense parameters and their optimizer state.
  public static func parameterByteCount(
    configuration: DLRMConfiguration, denseOptimizer: DenseOptimizer
  ) -> Int {
    DLRM(configuration, samples: 1).parameterCount * (1 + denseOptimizer.stateFloats)
      * MemoryLayout<Float>.size
  }
}
