using System.Globalization;
using System.Net;
using System.Text.Json;
using Myelin.Testing;
using Shouldly;

namespace Myelin.EndToEnd.Operations;

/// <summary>Questions to a running Prometheus.</summary>
internal static class Prometheus
{
    /// <summary>Waits until the expression is understood and, where wanted, has a finite number.</summary>
    public static async Task EvaluatesAsync(HttpClient http, string expression, bool hasData)
    {
        var text = "";
        await Wait.UntilAsync(async () =>
        {
            try
            {
                using var answer = await http.GetAsync($"/api/v1/query?query={Uri.EscapeDataString(expression)}");
                text = await answer.Content.ReadAsStringAsync();
                if (answer.StatusCode == HttpStatusCode.ServiceUnavailable)
                {
                    return false; // it still starts
                }

                answer.StatusCode.ShouldBe(HttpStatusCode.OK, $"{expression}\n{text}");
                return !hasData || Numbers(text).Any();
            }
            catch (HttpRequestException)
            {
                return false; // it does not listen yet
            }
        }, $"data for {expression}", () => text);
    }

    private static IEnumerable<double> Numbers(string answer) =>
        JsonDocument.Parse(answer).RootElement.GetProperty("data").GetProperty("result").EnumerateArray()
            .Select(r => double.Parse(r.GetProperty("value")[1].GetString()!, CultureInfo.InvariantCulture))
            .Where(double.IsFinite);
}
