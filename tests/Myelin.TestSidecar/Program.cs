using Myelin.Sidecar;
using Myelin.TestSidecar;

// Serves the models that conformance suites drive; the same set as sidecars/python/tests/conformance_sidecar.py.
return await SidecarHost.RunAsync(args, ConformanceModels.Create());
