using System.Reflection;
using System.Reflection.Emit;

namespace Myelin.Tests.Configuration;

/// <summary>
/// Which properties a program reads: the calls of their getters in its compiled code. What the compiler writes into a
/// record about itself (equality, text) is no reading.
/// </summary>
internal static class PropertyReads
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly string[] s_ofRecords = ["Equals", "GetHashCode", "PrintMembers", "ToString", "Deconstruct"];
    private static readonly Dictionary<short, OpCode> s_codes = typeof(OpCodes).GetFields().Select(f => (OpCode)f.GetValue(null)!).ToDictionary(c => c.Value);

    public static HashSet<MethodBase> In(params Assembly[] assemblies) =>
        [.. assemblies.SelectMany(a => a.GetTypes()).SelectMany(t => t.GetMembers(All)).OfType<MethodBase>().SelectMany(Calls)];

    private static IEnumerable<MethodBase> Calls(MethodBase method)
    {
        var code = method.GetMethodBody()?.GetILAsByteArray() ?? [];
        for (var at = 0; at < code.Length;)
        {
            short value = code[at++];
            var instruction = s_codes[value == 0xfe ? unchecked((short)(0xfe00 | code[at++])) : value];
            if (instruction.OperandType == OperandType.InlineMethod && Called(method, BitConverter.ToInt32(code, at)) is { } called
                && !(called.DeclaringType == method.DeclaringType && s_ofRecords.Contains(method.Name)))
            {
                yield return called;
            }

            at += instruction.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(code, at)),
                _ => 4,
            };
        }
    }

    private static MethodBase? Called(MethodBase method, int token)
    {
        try
        {
            var ofMethod = method.IsGenericMethod ? method.GetGenericArguments() : null;
            return method.Module.ResolveMethod(token, method.DeclaringType?.GetGenericArguments(), ofMethod);
        }
        catch (Exception e) when (e is FileNotFoundException or TypeLoadException or MissingMethodException or BadImageFormatException)
        {
            return null; // of a library that is not here: no property of ours
        }
    }
}
