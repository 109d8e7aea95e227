namespace Myelin.Protocol.Sidecars;

/// <summary>The peer broke the protocol. The connection is told so and closed: a stream that went wrong once cannot be trusted again.</summary>
public sealed class BadFrameException(string message) : Exception(message);
