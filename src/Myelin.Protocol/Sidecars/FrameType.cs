namespace Myelin.Protocol.Sidecars;

/// <summary>What a frame is; 128 to 255 are extensions, which a reader that does not know them skips.</summary>
public enum FrameType : byte
{
    None = 0,
    Hello = 1,
    Ready = 2,
    Infer = 3,
    Data = 4,
    Result = 5,
    Error = 6,
    Progress = 7,
    Cancel = 8,
    Release = 9,
    Ping = 10,
    Pong = 11,
    Drain = 12,

    /// <summary>The first extension.</summary>
    Extension = 128,
}
