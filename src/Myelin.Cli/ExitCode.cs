namespace Myelin.Cli;

/// <summary>What a script can rely on; <c>myelin --help</c> and docs/cli.md list the same.</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>The job ended as failed, cancelled or expired.</summary>
    public const int JobFailed = 1;

    /// <summary>Wrong arguments, or a request that the server refused as wrong.</summary>
    public const int Usage = 2;

    /// <summary>Nobody answers at the server's address.</summary>
    public const int Unreachable = 3;

    /// <summary>Ctrl-C; the job was cancelled on the server.</summary>
    public const int Interrupted = 130;
}

/// <summary>The caller's arguments cannot be right; the message tells the cure.</summary>
internal sealed class UsageException(string message) : Exception(message);
