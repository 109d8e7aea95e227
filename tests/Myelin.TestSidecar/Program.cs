using Myelin.Sidecar;
using Myelin.TestSidecar;

// Serves the models that conformance suites drive; the same set as sidecars/python/tests/conformance_sidecar.py.
// `worker ADDRESS KIND`: calls a sidecar without end instead, to be killed.
return args is ["worker", var address, var kind]
    ? await EndlessWorker.RunAsync(address, kind)
    : await SidecarHost.RunAsync(args, ConformanceModels.Create());
