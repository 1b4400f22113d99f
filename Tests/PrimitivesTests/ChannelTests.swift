import Primitives
import Testing

@Suite struct ChannelTests {
  @Test func elementsArriveInOrderAcrossThreads() throws {
    let channel = BoundedChannel<Int>(capacity: 3)
    let producer = NamedThread("producer") {
      for value in 0..<1000 { try channel.send(value) }
      channel.close()
    }
    var received: [Int] = []
    while let value = try channel.receive() { received.append(value) }
    #expect(producer.join() == nil)
    #expect(received == Array(0..<1000))
  }

  @Test func closingWithAnErrorStopsBothEnds() throws {
    let channel = BoundedChannel<Int>(capacity: 1)
    try channel.send(1)
    channel.close(throwing: ChanterError(.io, "gone"))
    #expect(throws: ChanterError.self) { try channel.send(2) }
    #expect(throws: ChanterError.self) { try channel.receive() }
  }

  @Test func plainCloseRefusesMoreButDeliversTheRest() throws {
    let channel = BoundedChannel<Int>(capacity: 2)
    try channel.send(7)
    channel.close()
    #expect(try channel.send(8) == false)
    #expect(try channel.receive() == 7)
    #expect(try channel.receive() == nil)
  }

  @Test(arguments: [1, 2, 3, 5])
  func workerPoolRunsEveryTaskOnce(threads: Int) {
    let pool = WorkerPool(threadCount: threads)
    let counts = AlignedBuffer<Int>(count: 100)
    for _ in 0..<50 {
      pool.run(100) { task, worker in
        counts.base[task] += 1
        precondition(worker < threads)
      }
    }
    #expect(counts.prefix().allSatisfy { $0 == 50 })
  }

  @Test func aMonitorWaitsNoLongerThanAsked() {
    let monitor = Monitor(0)
    #expect(monitor.wait(seconds: 0.001) { $0 > 0 ? $0 : nil } == nil)
    let other = NamedThread("other") { monitor.update { $0 = 7 } }
    #expect(monitor.wait(seconds: 1000) { $0 > 0 ? $0 : nil } == 7)
    #expect(other.join() == nil)
  }
}
