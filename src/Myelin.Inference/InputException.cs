namespace Myelin.Inference;

/// <summary>The caller's input is wrong: becomes a 4xx problem that names the field and tells the cure.</summary>
/// <param name="field">Path of the field, such as <c>input.image</c> or <c>parameters.threshold</c>.</param>
/// <param name="message">What is wrong and what would be right.</param>
/// <param name="code">Stable kind; see <see cref="InputErrorCode"/>.</param>
public sealed class InputException(string field, string message, InputErrorCode code = InputErrorCode.Invalid) : Exception(message)
{
    public string Field { get; } = field;

    public InputErrorCode Code { get; } = code;

    /// <summary>Finds the cause, where that may take a while; null where the message says all.</summary>
    internal Func<CancellationToken, Task<string?>>? Cause { get; init; }

    /// <summary>The same with its cause in the message.</summary>
    internal async Task<InputException> ExplainedAsync(CancellationToken cancellationToken) =>
        Cause is not null && await Cause(cancellationToken).ConfigureAwait(false) is { } cause ? new InputException(Field, $"{Message}: {cause}", Code) : this;
}

/// <summary>Kinds of wrong input; the gateway maps them to 400, 413 and 415.</summary>
public enum InputErrorCode
{
    Invalid,
    TooLarge,
    UnsupportedMediaType,
}
