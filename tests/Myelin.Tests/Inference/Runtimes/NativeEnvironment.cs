using System.Runtime.InteropServices;

namespace Myelin.Tests.Inference.Runtimes;

/// <summary>The environment as native code sees it; .NET's own copy may differ.</summary>
internal static partial class NativeEnvironment
{
    public static string? Read(string name) => Marshal.PtrToStringUTF8(GetEnvironment(name));

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetEnvironment(string name);
}
