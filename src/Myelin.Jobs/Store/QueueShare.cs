namespace Myelin.Jobs.Store;

/// <summary>
/// What a tenant may bring to a queue that others have filled: a tenth of the limit. So nobody can keep the others out, and
/// a tenant that is alone has the whole limit.
/// </summary>
internal static class QueueShare
{
    public static int Of(int queueLimit) => (int)(((long)queueLimit + 9) / 10);
}
