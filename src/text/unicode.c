// SPDX-License-Identifier: MIT
#include "text/unicode.h"

#include <stddef.h>
#include <utf8proc.h>

// Debian 12's utf8proc knows Unicode 15.0; the tokenizer we must agree with classifies by Unicode
// 16 and lowers by Unicode 17. These are the letters, numbers and capitals that came in between.
static const struct {
    int32_t first, last;
    enum tt_class class;
} newer[] = {
    {0x1C89, 0x1C8A, TT_LETTER},   {0xA7CB, 0xA7CD, TT_LETTER},   {0xA7DA, 0xA7DC, TT_LETTER},
    {0x105C0, 0x105F3, TT_LETTER}, {0x10D40, 0x10D49, TT_NUMBER}, {0x10D4A, 0x10D65, TT_LETTER},
    {0x10D6F, 0x10D85, TT_LETTER}, {0x10EC2, 0x10EC4, TT_LETTER}, {0x11380, 0x11389, TT_LETTER},
    {0x1138B, 0x1138B, TT_LETTER}, {0x1138E, 0x1138E, TT_LETTER}, {0x11390, 0x113B5, TT_LETTER},
    {0x113B7, 0x113B7, TT_LETTER}, {0x113D1, 0x113D1, TT_LETTER}, {0x113D3, 0x113D3, TT_LETTER},
    {0x116D0, 0x116E3, TT_NUMBER}, {0x11BC0, 0x11BE0, TT_LETTER}, {0x11BF0, 0x11BF9, TT_NUMBER},
    {0x13460, 0x143FA, TT_LETTER}, {0x16100, 0x1611D, TT_LETTER}, {0x16130, 0x16139, TT_NUMBER},
    {0x16D40, 0x16D6C, TT_LETTER}, {0x16D70, 0x16D79, TT_NUMBER}, {0x18CFF, 0x18CFF, TT_LETTER},
    {0x1CCF0, 0x1CCF9, TT_NUMBER}, {0x1E5D0, 0x1E5ED, TT_LETTER}, {0x1E5F0, 0x1E5F0, TT_LETTER},
    {0x1E5F1, 0x1E5FA, TT_NUMBER}, {0x2EBF0, 0x2EE5D, TT_LETTER},
};
static const struct {
    int32_t first, last, distance;
} newer_capitals[] = {
    {0x1C89, 0x1C89, 1},        {0xA7CB, 0xA7CB, 0x264 - 0xA7CB}, {0xA7CC, 0xA7CC, 1},
    {0xA7CE, 0xA7CE, 1},        {0xA7D2, 0xA7D2, 1},              {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},        {0xA7DC, 0xA7DC, 0x19B - 0xA7DC}, {0x10D50, 0x10D65, 32},
    {0x16EA0, 0x16EB8, 27},
};

enum tt_class tt_unicode_class(int32_t c) {
    if ((c >= 9 && c <= 13) || c == 0x85) return TT_SPACE;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO:
        return TT_LETTER;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO:
        return TT_NUMBER;
    case UTF8PROC_CATEGORY_ZS: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP:
        return TT_SPACE;
    case UTF8PROC_CATEGORY_CN:
        for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
            if (c >= newer[i].first && c <= newer[i].last) return newer[i].class;
        return TT_OTHER;
    default:
        return TT_OTHER;
    }
}

int tt_unicode_lower(int32_t c, int32_t out[2]) {
    if (c == 0x130) { // I with dot: the only capital whose lower case is two characters
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = utf8proc_tolower(c);
    for (size_t i = 0; out[0] == c && i < sizeof newer_capitals / sizeof *newer_capitals; i++)
        if (c >= newer_capitals[i].first && c <= newer_capitals[i].last)
            out[0] = c + newer_capitals[i].distance;
    return 1;
}

bool tt_unicode_is_barrier(int32_t c) {
    // Marks, and letters that compose, of Unicode 10 to 17. Whole blocks where all of it is newer:
    // a character that neither combines nor composes is a barrier anyway.
    static const struct {
        int32_t first, last;
    } barriers[] = {
        {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
        {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
        {0x1ABF, 0x1AFF},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C0, 0x105FF},
        {0x10D24, 0x10D27}, {0x10D40, 0x10D8F}, {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFF},
        {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
        {0x11380, 0x113FF}, {0x1145E, 0x1145E}, {0x11800, 0x1183F}, {0x11900, 0x1195F},
        {0x119A0, 0x11AAF}, {0x11D00, 0x11DAF}, {0x11F00, 0x11F5F}, {0x16100, 0x1613F},
        {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E08F}, {0x1E100, 0x1E14F},
        {0x1E290, 0x1E2FF}, {0x1E4D0, 0x1E4FF}, {0x1E5D0, 0x1E5FF},
    };
    for (size_t i = 0; i < sizeof barriers / sizeof *barriers && c >= barriers[i].first; i++)
        if (c <= barriers[i].last) return true;
    return false;
}
