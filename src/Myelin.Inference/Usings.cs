global using Myelin.Protocol;
