namespace Myelin.Hosting.Bus;

/// <summary>A topic, or the beginning and the end of topics with any text between: <c>myelin.jobs.*.high</c>.</summary>
internal readonly record struct TopicPattern(string Text)
{
    public bool IsExact => !Text.Contains('*', StringComparison.Ordinal);

    public string Beginning => IsExact ? Text : Text[..Text.IndexOf('*', StringComparison.Ordinal)];

    public string End => IsExact ? "" : Text[(Text.IndexOf('*', StringComparison.Ordinal) + 1)..];

    public bool Matches(string topic) => IsExact
        ? topic == Text
        : topic.Length >= Text.Length - 1 && topic.StartsWith(Beginning, StringComparison.Ordinal) && topic.EndsWith(End, StringComparison.Ordinal);
}
