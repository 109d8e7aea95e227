using System.Net.Sockets;
using System.Reflection;

namespace Myelin.Tests.Workers;

/// <summary>A real store, one call of which ends as a torn connection can: in an exception that no store foresaw.</summary>
#pragma warning disable CA1852 // the proxy's type is derived from it at run time
internal class FaultsOnce : DispatchProxy
#pragma warning restore CA1852
{
    private object _inner = null!;
    private string _method = "";
    private bool _done;

    public static T Of<T>(T inner, string method) where T : class
    {
        var store = Create<T, FaultsOnce>();
        var proxy = (FaultsOnce)(object)store;
        (proxy._inner, proxy._method) = (inner, method);
        return store;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        if (targetMethod!.Name == _method && !_done)
        {
            _done = true;
            throw new SocketException((int)SocketError.ConnectionReset);
        }

        return targetMethod.Invoke(_inner, args);
    }
}
