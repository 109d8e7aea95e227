namespace Myelin.Jobs.Webhooks;

/// <summary>Callbacks that are no address.</summary>
internal static class WebhookTarget
{
    /// <summary>The ended job goes to the bus, for a program that submitted it there. No caller can name it.</summary>
    public const string Bus = "bus:jobs.out";
}
