#include "cli/table.hpp"

#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

Grid grid_of(std::vector<std::vector<std::string>> rows) {
    Grid grid{.headings = {{"name", false}, {"cpus", true}, {"reason", false}}, .rows = {}};
    for (const auto& row : rows) {
        auto& cells = grid.rows.emplace_back();
        for (const std::string& text : row) {
            cells.push_back({text, Style::plain});
        }
    }
    return grid;
}

TEST(Table, AlignsColumnsUnderHeadingsInCapitals) {
    EXPECT_EQ(render_table(grid_of({{"web", "12", "x"}, {"longer-name", "1", ""}}), {}),
              "NAME         CPUS  REASON\n"
              "web            12  x\n"
              "longer-name     1\n");
}

TEST(Table, ShowsHeadingsWithoutRows) {
    EXPECT_EQ(render_table(grid_of({}), {}), "NAME  CPUS  REASON\n");
    EXPECT_EQ(render_table(grid_of({}), {.headings = false}), "");
}

TEST(Table, LeavesOutHeadings) {
    EXPECT_EQ(render_table(grid_of({{"web", "1", "x"}}), {.headings = false}), "web  1  x\n");
}

TEST(Table, LetsNoControlCharacterThrough) {
    const std::string text = render_table(grid_of({{"web", "1", "\x1b[31mred\nnext\x7f\xc2\x9b"}}), {});
    EXPECT_NE(text.find(R"(\x1b[31mred\x0anext\x7f\u009b)"), std::string::npos) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST(Table, IsNeverCut) {
    const std::string longest(500, 'x');
    EXPECT_NE(render_table(grid_of({{"web", "1", longest}}), {}).find(longest), std::string::npos);
}

TEST(Table, ColorsOnlyWhenAsked) {
    Grid grid = grid_of({{"web", "1", ""}});
    grid.rows[0][0].style = Style::good;
    EXPECT_NE(render_table(grid, {.color = true}).find("\x1b[32mweb"), std::string::npos);
    EXPECT_EQ(render_table(grid, {}).find('\x1b'), std::string::npos);
}

TEST(Csv, QuotesWhatNeedsIt) {
    EXPECT_EQ(
        render_csv(grid_of({{"web", "1", "a,b"}, {"db", "2", "say \"hi\"\nthere"}, {"x", "", ""}}), true),
        "name,cpus,reason\n"
        "web,1,\"a,b\"\n"
        "db,2,\"say \"\"hi\"\"\nthere\"\n"
        "x,,\n");
}

TEST(Csv, KeepsEmptyFirstFields) {
    EXPECT_EQ(render_csv(grid_of({{"", "", "x"}}), false), ",,x\n");
}

} // namespace
} // namespace capsul::cli
